
$muster.inventory.v1.TakeRequest.kind"muster.inventory.v1.TakeRequest.id&muster.inventory.v1.TakeRequest.job_id