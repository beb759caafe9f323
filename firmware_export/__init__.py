"""Graph to C: the header emitter and the C99 runtime that travels with it."""
