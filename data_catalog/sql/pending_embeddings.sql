-- The usable faces that have no embedding under this backbone yet.
SELECT DISTINCT usable_faces.video_sha256, usable_faces.face_id
FROM usable_faces
ANTI JOIN (
    SELECT face_id FROM embeddings WHERE backbone = $backbone
) AS done
    ON done.face_id = usable_faces.face_id
ORDER BY usable_faces.video_sha256, usable_faces.face_id
