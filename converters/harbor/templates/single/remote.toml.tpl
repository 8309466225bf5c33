network_mode = "public"
env = { OPENENV_URL = $address }
