"""What is told of single requests and of the server as a whole: logs, traces, slow-request lines, pushed metrics."""
