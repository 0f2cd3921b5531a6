"""What a Sampler can do, by what it begins with: seeds and noise, or photographs."""
