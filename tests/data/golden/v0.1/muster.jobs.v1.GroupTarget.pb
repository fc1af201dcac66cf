
#muster.jobs.v1.GroupTarget.group_id