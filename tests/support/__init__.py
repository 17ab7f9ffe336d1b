"""What tests share: servers, clients, wires, loops. No tests."""
