"""Topics that reach other hosts: clients of brokers, and what keeps them connected."""
