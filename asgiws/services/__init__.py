"""What all connections of one worker share: limits, notices, the scoreboard."""
