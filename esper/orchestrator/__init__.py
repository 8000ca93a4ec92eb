"""Plans: turn a decision into changes of one slot.  Planning is pure."""
