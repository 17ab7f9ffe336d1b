"""What all connections of one worker share: limits, budgets, notices."""
