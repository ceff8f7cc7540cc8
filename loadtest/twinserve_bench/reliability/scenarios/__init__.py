"""The scenarios, a module each: its docstring says what happens, ``run(bench)`` returns what was found."""
