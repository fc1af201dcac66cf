
muster.jobs.v1.Progress.job_idıß:muster.jobs.v1.Progress.message ƒ‡‘Ùì¬Å–=(Ï‹îí†ûºİ£