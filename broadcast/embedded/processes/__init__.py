"""Child processes: started, waited for, kept running, ended within a budget."""
