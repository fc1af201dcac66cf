jY
*muster.jobs.v1.JobParams.host_move.host_id+muster.jobs.v1.JobParams.host_move.group_id