"""What change is made: a decision becomes a plan for one slot.  Planning changes nothing."""
