"""One module for each thing outside: what the engine asks of it, and its errors as ours."""
