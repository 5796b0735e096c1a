"""The fabric: topology and routes, collective algorithms, expert dispatch and combine."""
