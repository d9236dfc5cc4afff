/** A file that is made here: it goes from the page to the disk, and nowhere else. */

export function Download({ name, text }: { name: string; text: string }) {
  const give = (): void => {
    const url = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
    const link = document.createElement("a");
    link.href = url;
    link.download = name;
    link.click();
    URL.revokeObjectURL(url);
  };
  return <button type="button" onClick={give}>Download {name}</button>;
}
