
muster.inventory.v1.ObjectId.id#muster.inventory.v1.ObjectId.job_id