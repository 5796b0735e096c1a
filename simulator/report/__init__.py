"""Reports: terminal, HTML, plots and traces of results."""
