"""Alembic's migrations, applied at start (``database.py``). A file is ``versions/NNNN_what.py``, its revision NNNN."""
