"""What several gateway processes have in common: limits over Redis, one script call a decision."""
