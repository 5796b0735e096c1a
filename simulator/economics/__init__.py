"""Economics: energy of a step, power, carbon and money."""
