"""What talks to servers that may be down."""
