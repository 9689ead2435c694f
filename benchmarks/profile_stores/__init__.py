"""What `benchmarks.profiles` measures, part by part."""
