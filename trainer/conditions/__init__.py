"""What the network is told besides the time and the class: small pictures, masks, and how."""
