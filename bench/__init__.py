"""The benchmark: Tidegate beside its peers, each alone between the same upstream and the same load client."""
