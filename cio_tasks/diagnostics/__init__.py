"""What a person asks when something is wrong: each answers with facts and with findings, and changes nothing unasked."""
