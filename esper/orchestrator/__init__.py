"""What change is made: a decision becomes a plan for one slot, without doing anything yet."""
