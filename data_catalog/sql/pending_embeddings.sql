-- The usable faces that have no embedding under this backbone yet.
SELECT DISTINCT usable_faces.video_key, usable_faces.face_id
FROM usable_faces
ANTI JOIN (
    SELECT video_key, face_id FROM embeddings WHERE backbone = $backbone
) AS done
    ON done.video_key = usable_faces.video_key AND done.face_id = usable_faces.face_id
ORDER BY usable_faces.video_key, usable_faces.face_id
