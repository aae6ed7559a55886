"""The kopf operator that turns a ChatbotDeployment into hardened, scaled chat pods."""
