"""Everything that is Ray: streams, Train runs, the delta actors, victim tasks. It knows no mathematics."""
