"""Many runs: planned, started, watched and summed up."""
