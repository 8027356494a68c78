"""What the terminal programs are made of: markdown printed while it comes, a region that is redrawn, a table."""
