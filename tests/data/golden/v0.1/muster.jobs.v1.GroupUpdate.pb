
#muster.jobs.v1.GroupUpdate.group_idmuster.jobs.v1.GroupUpdate.name$muster.jobs.v1.GroupUpdate.parent_id"&muster.jobs.v1.GroupUpdate.description