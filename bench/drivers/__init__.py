"""Small programs that use one library each the way its README says; each runs in the environment of its library."""
