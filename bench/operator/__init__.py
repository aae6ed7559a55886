"""What the operator costs, beside a controller-runtime operator of the same function and bare server-side applies."""
