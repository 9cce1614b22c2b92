"""Files that outlive a kill, a power cut and a second process: whole, checked, held by one."""
