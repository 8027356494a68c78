"""Several processes behind one socket: a supervisor, its workers, and what they tell each other."""
