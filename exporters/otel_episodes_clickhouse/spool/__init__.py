"""A finished span on disk, and from there to any sink; no ClickHouse, no network.

Constraints
-----------
- A line is with the kernel before `SpoolWriter.append` returns: a process killed one instant later loses nothing. A
  power cut can lose what the kernel has not written back, unless ``fsync=True``.
- A file (segment) has one writer, which only appends, and is at most 16 MB plus a line. A file that is not written to
  any more is never changed, only deleted.
- A line is whole or not there: readers take nothing past the last newline.
- Writers never wait for readers and need no server, no lock but that of their own file, and no memory for a queue.
- At the limit (a tenth of the disk, 10 GB at most) what is new is refused, what is there stays.
- One process at a time reads to deliver; others may look.
- Every line that was acknowledged reaches the sink with the effect of exactly once, whatever is killed in between.

On disk
-------
::

    <time>-<pid>-<random>.jsonl   a segment: a header, then a line for each definition and span (`encode`, `decode`)
    .<segment>.new                one that has yet to be locked and given its name; nothing is in it
    state.json                    how far each segment is read, and the insert under way (`progress`)
    quarantine/                   lines and rows that nobody can store, with the reason
    <pid>-<random>.<reason>-<n>.dropped   what a process lost, counted in the name of an empty file (`losses`)
    .reserve                      room for the state on a full disk (`files`)
    shipping.json                 counts since the spool was made, and the last error (`ledger`)
    drain.lock, ship.lock         who delivers, who leads (`locks`)

Names of segments sort by time. Everything is for its owner only, and no symbolic link is followed (`directory`).

Writing
-------
A segment is made under a hidden name, locked with flock, and renamed: an unlocked segment is therefore a finished one,
and the kernel lets go of the lock however the process ends. Each span is one ``write`` to a file opened for appending.
A short write is completed or taken back; a line that stays torn ends with the next newline. After a fork the child
starts a segment of its own. A span that ends while another is being written (in a signal handler, in a finaliser) goes
to a segment aside. What cannot be written is counted by reason (`writer`, `limit`).

Reading
-------
A reader sees each segment up to its last newline, from the offset in the state (`reader`). Resources and scopes are
defined in a segment before their first use; the state keeps the definitions passed so far with the offset. A drain
reads up to the sizes found when it began, so that a fast writer cannot hold it (`drain`).

Acknowledging
-------------
1. The lines of the next insert are chosen (`batch`), and the state is written with their bytes and a random token.
2. The rows go to the sink under that token (`sink`), which ignores a token it has seen.
3. The state is written again, with the new offsets and no insert under way.

Each write of the state replaces the file, durably. A process that dies between 1 and 3 leaves an insert under way: the
next drain sends the same bytes under the same token, and, where the sink can tell, looks for rows that an engine killed
half-way has lost and sends those under a new one. What the sink refuses is halved until the line at fault stands alone.
A segment is deleted when its writer has let go of it and all of it is acknowledged.
"""
