"""Evidence: each module measures one claim."""
