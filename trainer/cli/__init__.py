"""What a person sees and types: arguments, signals, errors, console, pictures."""
