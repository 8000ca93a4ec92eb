"""Everything that refuses a change or takes it back."""
