// Taking a picture: by the browser's camera where it may be used, else by the device's own.
function useCamera(onPicture) {
  const dialog = document.querySelector("#shot");
  const video = dialog.querySelector("video");
  const fallback = document.querySelector("#capture");
  let stream = null;

  const open = async () => {
    if (!navigator.mediaDevices?.getUserMedia) return fallback.click();
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    } catch {
      return fallback.click();
    }
    video.srcObject = stream;
    dialog.showModal();
  };

  const close = () => {
    for (const track of stream?.getTracks() || []) track.stop();
    video.srcObject = stream = null;
  };

  document.querySelector("#camera").addEventListener("click", open);
  document.querySelector("#leave").addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", close);
  document.querySelector("#take").addEventListener("click", () => {
    const { videoWidth: width, videoHeight: height } = video;
    if (!width) return; // the camera has not begun yet
    const still = Object.assign(document.createElement("canvas"), { width, height });
    still.getContext("2d").drawImage(video, 0, 0);
    dialog.close();
    still.toBlob((taken) => onPicture(new File([taken], "camera.jpg", { type: "image/jpeg" })), "image/jpeg", 0.92);
  });
  fallback.addEventListener("change", () => {
    if (fallback.files.length) onPicture(fallback.files[0]);
    fallback.value = "";
  });
}
