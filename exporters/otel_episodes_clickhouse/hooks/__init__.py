"""Hooks of coding agents: a session becomes an episode while it goes on.

An agent writes what it does to a transcript of its own and tells its hooks where that is. So a hook records nothing
itself: it notes the transcript (`relay`, the standard library alone) and leaves; a process of its own brings the
transcript in (`bring`), with the reader that ``import`` uses. What a hook brought and what a later import of the same
session brings is therefore the same episode, once.
"""
