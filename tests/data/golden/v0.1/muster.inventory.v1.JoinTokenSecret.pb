
)muster.inventory.v1.JoinTokenSecret.tokenïº‘–P