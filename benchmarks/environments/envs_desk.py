"""A help desk: tickets to hand to whoever is on call, to close once, and rooms to book where one is free."""

from __future__ import annotations

from calls import World


class Env(World):
    """Three kinds of requests; an id in the wrong place fails, a wrong call that works cannot be taken back."""

    TYPES = ("assign", "close", "book")
    TOOLS = {  # noqa: RUF012  # never written to
        "on_call": {"team": "text"},
        "find_person": {"person": "text"},
        "tickets_of": {"person": "P"},
        "assign": {"ticket": "TK", "to": "P"},
        "transfer": {"ticket": "TK", "to": "P"},
        "close": {"ticket": "TK"},
        "room_state": {"room": "R"},
        "book": {"room": "R", "by": "P"},
        "finish": {},
    }

    def set_up(self, kind: str) -> str:
        """Make up who is who."""
        self.person = self.draw.choice(("Ada Brandt", "Luis Ferro", "Noor Haddad", "Kaya Lind"))
        self.team = self.draw.choice(("network", "storage", "payroll", "printing"))
        self.ticket, self.older = self.new("TK"), self.new("TK")
        self.who, self.deputy = self.new("P"), self.new("P")
        self.room, self.free = self.new("R"), self.new("R")
        if kind == "assign":
            self.texts = [self.team]
            return f"Ticket {self.ticket} waits: whoever is on call for {self.team} takes it. It follows {self.older}."
        if kind == "close":
            self.texts = [self.person]
            return f"The trouble of {self.person} is over, close the ticket. {self.older} is somebody else's."
        self.texts = [self.person]
        return f"Book room {self.room} for {self.person}, or the one beside it where it is taken."

    def on_call(self, team: str) -> tuple[str, bool]:
        """Say who is on call."""
        return (f"on call: {self.who}", True) if team == self.team else (f"no team {team}", False)

    def find_person(self, person: str) -> tuple[str, bool]:
        """Look somebody up."""
        return (f"person {self.who}", True) if person == self.person else (f"nobody called {person}", False)

    def tickets_of(self, person: str) -> tuple[str, bool]:
        """Say which tickets are somebody's."""
        return (f"open: {self.ticket}", True) if person == self.who else (f"nobody has the id {person}", False)

    def assign(self, ticket: str, to: str) -> tuple[str, bool]:
        """Hand a ticket over."""
        return self._on_ticket(ticket, right=self.kind == "assign" and to == self.who, to=to)

    def transfer(self, ticket: str, to: str) -> tuple[str, bool]:
        """Hand a ticket to another desk."""
        return self._on_ticket(ticket, right=False, to=to)

    def close(self, ticket: str) -> tuple[str, bool]:
        """Close a ticket."""
        return self._on_ticket(ticket, right=self.kind == "close")

    def room_state(self, room: str) -> tuple[str, bool]:
        """Say whether a room is taken."""
        if room not in (self.room, self.free):
            return f"no room {room}", False
        return (f"{room} is taken; beside it {self.free} is free", True) if room == self.room else ("free", True)

    def book(self, room: str, by: str) -> tuple[str, bool]:
        """Book a room."""
        if room not in (self.room, self.free) or not by.startswith("P"):
            return f"no room {room}, or nobody {by}", False
        return self.reach(right=self.kind == "book" and room == self.free and by == self.who)

    def _on_ticket(self, ticket: str, *, right: bool, to: str = "P") -> tuple[str, bool]:
        if ticket not in (self.ticket, self.older) or not to.startswith("P"):
            return f"no ticket {ticket}, or nobody {to}", False
        return self.reach(right=right and ticket == self.ticket)
