"""Two nets and a rule, as a preset names them."""
