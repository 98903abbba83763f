"""What calls a batch function: storages, queues, buses and state machines, in their own words."""
