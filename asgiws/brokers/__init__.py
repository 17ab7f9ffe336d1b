"""What carries topics to other hosts: clients of brokers, and what keeps one connected."""
