
muster.jobs.v1.Step.nameÛëÛÈˆY Šäİ™ób(‹2muster.jobs.v1.Step.message8®ƒ:Bõ#muster.jobs.v1.Step.problem.message.muster.jobs.v1.Step.problem.recommended_action"y
'muster.jobs.v1.Step.problem.object.kind%muster.jobs.v1.Step.problem.object.id'muster.jobs.v1.Step.problem.object.name*!muster.jobs.v1.Step.problem.fieldH†ö